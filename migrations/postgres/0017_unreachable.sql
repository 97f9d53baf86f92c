-- Gateways that cannot be reached, for people to hear of: since when, and which way connections fail. Reached again, the row goes.
create table unreachable (
  lane         text collate "C" primary key,
  since        bigint not null,
  how          text   not null
);
