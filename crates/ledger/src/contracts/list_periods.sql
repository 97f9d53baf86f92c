-- The periods of a contract ($1) that are accounted for, from behind the one of this name ($2) on, $3 at most.
select p.period, p.due, p.state, p.item_id, p.amount,
  -- The period's own reason comes before its item's.
  coalesce(p.reason, i.reason) as reason, i.state as item_state, p.pay_by,
  cast(case when i.withdrawn is null then 0 else 1 end as bigint) as is_withdrawn
-- A period that has lapsed or was waived has no item.
from contract_periods as p left join items as i on i.id = p.item_id
where p.contract_id = $1 and p.period > $2 order by p.period limit $3
