-- Of each row ($1): the payment that the gateway has shown under one of its two numbers, where the other is not that of the row.
select cast(k.value ->> 'n' as bigint) as n, p.order_no, p.transaction_id
-- `cross join`: the list first, each payment by its number.
from json_each($1) as k cross join payments as p
where p.id = coalesce(
  (select x.id from payments as x where x.account = unhex(k.value ->> 'account') and x.order_no = k.value ->> 'our_number'
     and x.transaction_id <> '' and x.transaction_id <> k.value ->> 'their_number'),
  (select x.id from payments as x where x.account = unhex(k.value ->> 'account') and x.transaction_id = k.value ->> 'their_number'
     and x.order_no <> '' and x.order_no <> k.value ->> 'our_number'))
