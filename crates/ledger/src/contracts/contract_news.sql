-- Failed items of which their contracts have not heard, oldest first, $1 at most.
select p.contract_id, c.contract, p.item_id, i.decline_count, i.reason, i.result, j.policy
-- `cross join`: the periods by contract_periods_failure_unprocessed, then what each belongs to by its number.
from contract_periods as p cross join items as i cross join jobs as j cross join contracts as c
where p.failure_unprocessed = 1 and i.id = p.item_id and j.id = i.job_id and c.id = p.contract_id
order by p.item_id limit $1
