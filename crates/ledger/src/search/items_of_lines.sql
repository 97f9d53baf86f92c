-- Items with these derived numbers ($1), numbers of the user's ($2), or receipts, which are the gateway's numbers ($3).
-- `cross join`: the list first, then the items by the index of that number, then the job of each.
select i.id, i.key_hash, i.custom_order_no, i.generation, i.receipt, j.lane
from json_each($1) as n cross join items as i cross join jobs as j
where i.key_hash = unhex(n.atom) and j.id = i.job_id
union all
select i.id, i.key_hash, i.custom_order_no, i.generation, i.receipt, j.lane
from json_each($2) as n cross join items as i cross join jobs as j
where i.custom_order_no = n.atom and j.id = i.job_id
union all
select i.id, i.key_hash, i.custom_order_no, i.generation, i.receipt, j.lane
from json_each($3) as n cross join items as i cross join jobs as j
-- The index leaves out what has none, so that must be said too.
where i.receipt = n.atom and i.receipt is not null and j.id = i.job_id
