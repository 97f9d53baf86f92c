-- Which keys sealed values need is looked up at each start, and `payrun reseal` finds what is sealed under an old one. The id of a
-- key stands in the value itself (16 characters and a colon); '-' is a value from before keys had ids.
-- As SQLite names it, so that both engines share their statements.
create function instr(text text, part text) returns integer language sql immutable parallel safe
  as $$ select strpos($1, $2) $$;
create index items_sealed on items ((case when substr(input, instr(input, '{"sealed":"') + 27, 1) = ':'
    then substr(input, instr(input, '{"sealed":"') + 11, 16) else '-' end), id) where instr(input, '{"sealed":"') > 0;
create index notifications_sealed on notifications ((case when substr(body, 17, 1) = ':' then substr(body, 1, 16) else '-' end), id)
    where sealed = 1;
