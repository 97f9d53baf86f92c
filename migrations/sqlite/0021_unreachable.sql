-- Gateways that cannot be reached, for people to hear of: since when, and which way connections fail. Reached again, the row goes.
create table unreachable (
  lane         text    primary key,
  since        integer not null,
  how          text    not null
) without rowid;
