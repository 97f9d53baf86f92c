-- What a dead process left is found without reading every item.
create index items_claimed on items (node) where node is not null;
create index runs_unfinished on runs (id) where finished_at is null;
