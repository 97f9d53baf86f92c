-- Contracts as they are from now on. $1: what may change of each, by its number.
update contracts set version = contracts.version + 1,
  state = v.value ->> 'state', since = v.value ->> 'since', reason = v.value ->> 'reason',
  currency = v.value ->> 'currency', prices = v.value ->> 'prices',
  every = v.value ->> 'every', anchor = cast(v.value ->> 'anchor' as bigint),
  start_on = v.value ->> 'start_on', end_on = v.value ->> 'end_on',
  pay_within = cast(v.value ->> 'pay_within' as bigint), description = v.value ->> 'description',
  next_due = v.value ->> 'next_due'
from json_each($1) as v where contracts.id = cast(v.value ->> 'id' as bigint)
