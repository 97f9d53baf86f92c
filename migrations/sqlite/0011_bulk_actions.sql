-- What a person does to many items at once, as a thing of its own: what was counted, who wants it and why, how far it is, and which
-- items were left as they were. Each commit of it changes its row, so that a process that dies leaves what was done.

create table bulk_actions (
  id           integer primary key,
  action       text    not null,           -- retry, cancel
  chosen_by    text    not null,           -- JSON object: run, workflow, job, gateway, states, reason_has
  item_set     text    not null,           -- stands for exactly the items that were counted, as they were
  items        integer not null,           -- how many
  states       text    not null,           -- JSON object: how many of each state
  sums         text    not null,           -- JSON object: minor units by currency
  left_out     integer not null,           -- how many were not meant, since nothing more of them is sent
  actor        text    not null,
  via          text    not null,
  reason       text    not null,
  request_key  text,                       -- of the form that asked for it: sent twice, it is done once
  began_at     integer not null,
  handled      integer not null,           -- how many items have had their turn
  moved        text    not null,           -- JSON object: how many are in each state now
  withdrawn    text    not null,           -- JSON object: how many may be under way, by the state they stay in
  refused      integer not null,           -- how many were left as they were
  went_on_at   integer not null,           -- when it went on last
  ended_at     integer,                    -- when the last item had its turn
  broke_off_at integer                     -- when it is known to have broken off; none where its process died
);
create unique index bulk_actions_by_key on bulk_actions (actor, request_key) where request_key is not null;

-- The items that were left as they were.
create table bulk_refusals (
  bulk_action  integer not null,
  item_id      integer not null,
  code         text    not null,           -- why, for programs
  words        text    not null,           -- and for people
  message      text,                       -- the same as a message, for other languages
  primary key (bulk_action, item_id)
) without rowid;

-- What a bulk action changed, item by item, in the commit that changed it: so that its items can be listed, an item says which bulk
-- action it was in, and what nobody has touched since can be taken back.

create table bulk_items (
  bulk_action  integer not null,
  item_id      integer not null,
  version      integer not null,           -- the item's since then; while it is the same, nobody has claimed or changed the item
  at           integer not null,
  primary key (bulk_action, item_id)
) without rowid;
create index bulk_items_by_item on bulk_items (item_id, bulk_action);
