-- What a bulk action changed, item by item, in the commit that changed it: so that its items can be listed, an item says which bulk
-- action it was in, and what nobody has touched since can be taken back.

create table bulk_items (
  bulk_action  bigint  not null,
  item_id      bigint  not null,
  version      bigint  not null,           -- the item's since then; while it is the same, nobody has claimed or changed the item
  at           bigint  not null,
  primary key (bulk_action, item_id)
);
create index bulk_items_by_item on bulk_items (item_id, bulk_action);
