-- Differences ($2) of a lane ($1) that the reconciliation of an item ($3) found now ($4) and that were not there before.
insert into differences (lane, content_hash, reason, day, kind, order_no, refund_no, transaction_id, ours, our_currency, theirs,
  their_currency, our_state, their_state, item_id, line, total, detail, state, version, found_in, first_seen, last_seen, changed_at)
select $1, unhex(value ->> 'content_hash'), value ->> 'reason', value ->> 'day', value ->> 'kind', value ->> 'order_no',
  value ->> 'refund_no', value ->> 'transaction_id', cast(value ->> 'ours' as bigint), value ->> 'our_currency',
  cast(value ->> 'theirs' as bigint), value ->> 'their_currency', value ->> 'our_state', value ->> 'their_state',
  cast(value ->> 'item_id' as bigint), cast(value ->> 'line' as bigint), value ->> 'total', value ->> 'detail', value ->> 'state', 1,
  cast($3 as bigint), cast($4 as bigint), cast($4 as bigint), cast($4 as bigint)
from json_each($2) where true
