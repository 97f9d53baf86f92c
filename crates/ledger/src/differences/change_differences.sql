-- Differences ($1) as a person has changed them, now ($2).
update differences set state = f.value ->> 'state', owner = f.value ->> 'owner', version = cast(f.value ->> 'version' as bigint),
  note = f.value ->> 'note', changed_at = cast($2 as bigint)
from json_each($1) as f where differences.id = cast(f.value ->> 'id' as bigint)
