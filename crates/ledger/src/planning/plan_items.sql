-- New items ($1) of a job ($2), due at $3. A key or a number that is there already keeps a row away; who asks how many rows were written
-- then looks for its holder.
insert into items (job_id, line, key, key_hash, content_hash, exclusive_key, order_no, custom_order_no, amount,
  currency, input, result, part_of, part, part_written, part_once,
  payment_ours, payment_theirs, payment_part, payment_written, state, next_at)
select $2, cast(value ->> 'line' as bigint), value ->> 'key', unhex(value ->> 'key_hash'), unhex(value ->> 'content_hash'),
  unhex(value ->> 'exclusive_key'), value ->> 'order_no', value ->> 'custom_order_no', cast(value ->> 'amount' as bigint),
  value ->> 'currency', value ->> 'input', value ->> 'result', unhex(value ->> 'part_of'), value ->> 'part', value ->> 'part_written',
  cast(value ->> 'part_once' as bigint), value ->> 'payment_ours', value ->> 'payment_theirs', value ->> 'payment_part', value ->> 'payment_written',
  'planned', $3
from json_each($1) where true
on conflict do nothing
