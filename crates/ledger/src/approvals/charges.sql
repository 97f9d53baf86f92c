-- Our items that charged the payments of these order numbers on an account ($2). $1: each with `number`, and `key_hash`, the
-- fingerprint of the key it was derived from. Each half finds its items by an index of its own: items_key and items_custom_order_no. `cross join`: the list first.
select n.value ->> 'number' as number, i.id, i.state, i.amount, i.currency, i.order_no, i.receipt
from json_each($1) as n cross join items as i join jobs as j on j.id = i.job_id
where i.key_hash = unhex(n.value ->> 'key_hash') and j.account = $2 and j.kind in ('deduct', 'pay')
union all
select n.value ->> 'number' as number, i.id, i.state, i.amount, i.currency, i.order_no, i.receipt
from json_each($1) as n cross join items as i join jobs as j on j.id = i.job_id
where i.custom_order_no = n.value ->> 'number' and j.account = $2 and j.kind in ('deduct', 'pay')
