-- Rows ($1) that were refused or skipped: they have no key, so that the right row may have it. The order number that one gives is for
-- people: nothing looks for an item by it.
insert into items (job_id, line, key, order_no, state, reason, reason_message, duplicate_of, amount, currency, input)
select cast(value ->> 'job_id' as bigint), cast(value ->> 'line' as bigint), value ->> 'key', value ->> 'order_no', value ->> 'state', value ->> 'reason', value ->> 'message',
  cast(value ->> 'duplicate_of' as bigint), cast(value ->> 'amount' as bigint), value ->> 'currency', '{}'
from json_each($1)
returning id, line, key
