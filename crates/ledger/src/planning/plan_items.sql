-- New items of a job: the values of each in the order of the columns. A key or a number that is there already keeps a row away; who asks
-- how many rows were written then looks for its holder.
insert into items (job_id, next_at, line, key, key_hash, content_hash, exclusive_key, order_no, custom_order_no, amount,
  currency, input, result, part_of, part, part_written, part_once,
  payment_ours, payment_theirs, payment_part, payment_written, state)
values {rows}
on conflict do nothing
