-- What a job ($2) has planned of a whole ($1), where its rows are for the whole and for parts of it: rejected, and why ($3, and for other languages $4).
update items set state = 'rejected', reason = $3, reason_message = $4, next_at = null,
  -- What makes no item holds neither a key nor a number, so that the right row may have them. Its fields are not kept. The order
  -- number that it gave stays for people.
  key_hash = null, content_hash = null, exclusive_key = null, order_no = custom_order_no, custom_order_no = null, part_of = null, part = null,
  part_written = null, part_once = null, payment_ours = null, payment_theirs = null, payment_part = null, payment_written = null, input = '{}'
where part_of = unhex($1) and part_of is not null and job_id = $2 and state = 'planned'
returning id, line, key, order_no, amount, currency
