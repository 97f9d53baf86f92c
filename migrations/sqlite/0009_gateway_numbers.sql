-- The gateway's numbers of an item that are not its receipt: of what failed or is pending, and the customs' own of a declaration. By any
-- of them the item is found. They stay as long as the item does, as its receipt.

create table gateway_numbers (
  item_id      integer not null,
  name         text    not null,           -- the fact of the reply that it is; receipt: what would be the receipt if it had succeeded
  number       text    not null,
  primary key (item_id, name, number)
) without rowid;
create index gateway_numbers_by_number on gateway_numbers (number, item_id);

-- What replies have said before now, as far as it is in the results.
insert into gateway_numbers (item_id, name, number)
select id, 'verify_department_trade_id', result ->> 'verify_department_trade_id' from items
where instr(result, '"verify_department_trade_id":"') > 0
  and length(result ->> 'verify_department_trade_id') between 1 and 200
  and (receipt is null or receipt <> result ->> 'verify_department_trade_id');
