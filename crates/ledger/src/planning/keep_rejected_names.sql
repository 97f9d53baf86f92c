-- What rejected rows are found by ($1). One column may be the order number and a reference at once.
insert into item_references (item_id, name, hashed, text)
select cast(value ->> 'item_id' as bigint), value ->> 'name', cast(value ->> 'hashed' as bigint), value ->> 'text'
from json_each($1) where true on conflict do nothing
