-- Periods ($1) that a plan accounts for, noted now ($2): one has an item, by its key, or has lapsed, and says why.
insert into contract_periods (contract_id, period, due, state, item_id, amount, reason, recorded_at)
select cast(v.value ->> 'contract_id' as bigint), v.value ->> 'period', v.value ->> 'due',
  -- What has become of the item by now has become of the period: its key may have been planned before.
  case when v.value ->> 'lapsed' is null then case i.state when 'succeeded' then 'paid' when 'failed' then 'failed'
    when 'cancelled' then 'cancelled' else 'planned' end else 'lapsed' end,
  i.id, cast(v.value ->> 'amount' as bigint), v.value ->> 'lapsed', cast($2 as bigint)
-- `where true` keeps SQLite from reading `on conflict` as a join's condition.
from json_each($1) as v left join items as i on i.key_hash = unhex(v.value ->> 'key_hash') where true
-- One that is accounted for stays as it is. Only what a person has opened again is noted anew.
on conflict (contract_id, period) do update set state = excluded.state, item_id = excluded.item_id,
    amount = excluded.amount, reason = excluded.reason, recorded_at = excluded.recorded_at
  where contract_periods.state = 'reopened'
