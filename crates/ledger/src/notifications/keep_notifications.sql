-- Notifications ($1) as they came. A body that came before is counted. One commit holds no body twice: a server would not take that.
insert into notifications (lane, digest, received_at, repeats, headers, body, sealed, order_no, outcome, next_at)
select value ->> 'lane', value ->> 'digest', cast(value ->> 'received_at' as bigint), cast(value ->> 'repeats' as bigint),
  value ->> 'headers', value ->> 'body', cast(value ->> 'sealed' as bigint), value ->> 'order_no', 'open',
  cast(value ->> 'received_at' as bigint)
from json_each($1) where true
on conflict (lane, digest) do update set repeats = notifications.repeats + excluded.repeats + 1
