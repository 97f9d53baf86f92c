-- Periods ($1) of a contract ($2) that will never be charged. One that has an item, or was waived before, stays as it is: only what a
-- person has opened again is waived anew.
insert into contract_periods (contract_id, period, due, state, amount, reason, recorded_at)
select cast($2 as bigint), value ->> 'period', value ->> 'due', 'waived', cast(value ->> 'amount' as bigint), value ->> 'reason',
  cast($3 as bigint)
from json_each($1) where true
on conflict (contract_id, period) do update set state = excluded.state, reason = excluded.reason, recorded_at = excluded.recorded_at
  where contract_periods.state = 'reopened'
