-- Differences ($1) as a person has changed them, with the person's note ($2), now ($3).
update differences set state = f.value ->> 'state', owner = f.value ->> 'owner', version = cast(f.value ->> 'version' as bigint),
  note = $2, changed_at = cast($3 as bigint)
from json_each($1) as f where differences.id = cast(f.value ->> 'id' as bigint)
