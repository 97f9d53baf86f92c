-- New contracts ($1) of an account ($2); those that are there already are not returned.
insert into contracts (contract, account, created_at, state, since, reason, currency, prices, every, anchor,
  start_on, end_on, pay_within, description, next_due)
select v.value ->> 'contract', $2, cast($3 as bigint), v.value ->> 'state', v.value ->> 'since', v.value ->> 'reason',
  v.value ->> 'currency', v.value ->> 'prices', v.value ->> 'every', cast(v.value ->> 'anchor' as bigint),
  v.value ->> 'start_on', v.value ->> 'end_on', cast(v.value ->> 'pay_within' as bigint), v.value ->> 'description',
  v.value ->> 'next_due'
from json_each($1) as v where true
on conflict do nothing returning id, contract
