-- Items ($1) of the plan that another row of it contradicts: rejected, and why ($2, and for other languages $3).
update items set state = 'rejected', reason = $2, reason_message = $3, next_at = null,
  -- What makes no item holds neither a key nor a number, so that the right row may have them. Its fields are not kept. The order
  -- number that it gave stays for people.
  key_hash = null, content_hash = null, exclusive_key = null, order_no = custom_order_no, custom_order_no = null, part_of = null, part = null,
  part_written = null, part_once = null, payment_ours = null, payment_theirs = null, payment_part = null, payment_written = null, input = '{}'
where id in (select cast(atom as bigint) from json_each($1)) and state = 'planned'
returning id, line, key, order_no, amount, currency
