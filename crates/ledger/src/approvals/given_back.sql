-- How much was given back of payments ($1), or may have been, how often, and an item whose amount is not there. Which items count is
-- put in where the braces are.
select n.value ->> 'transaction_id', cast(coalesce(sum(items.amount), 0) as bigint), count(*),
  min(case when items.amount is null then items.id end)
-- `cross join`: the list first, then what it names by an index.
from json_each($1) as n cross join items
where items.refunded_payment = unhex(n.value ->> 'refunded_payment') and {counts}
group by n.value ->> 'transaction_id'
