-- The lines ($1) of a statement ($2).
insert into statement_lines (statement_id, line, kind, time, order_no, transaction_id, refund_no, refund_id, state,
  amount, currency, fee, fee_currency, settled, settled_currency)
select $2, cast(value ->> 'line' as bigint), value ->> 'kind', value ->> 'time', value ->> 'order_no', value ->> 'transaction_id',
  value ->> 'refund_no', value ->> 'refund_id', value ->> 'state', cast(value ->> 'amount' as bigint), value ->> 'currency',
  cast(value ->> 'fee' as bigint), value ->> 'fee_currency', cast(value ->> 'settled' as bigint), value ->> 'settled_currency'
from json_each($1)
