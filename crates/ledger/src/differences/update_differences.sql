-- Differences that were there before, as they are after a reconciliation has looked at them again ($1).
update differences set reason = f.value ->> 'reason', state = f.value ->> 'state', version = cast(f.value ->> 'version' as bigint),
  found_in = cast(f.value ->> 'found_in' as bigint), line = cast(f.value ->> 'line' as bigint), our_state = f.value ->> 'our_state',
  detail = f.value ->> 'detail', last_seen = cast(f.value ->> 'last_seen' as bigint), changed_at = cast(f.value ->> 'changed_at' as bigint)
from json_each($1) as f where differences.id = cast(f.value ->> 'id' as bigint)
