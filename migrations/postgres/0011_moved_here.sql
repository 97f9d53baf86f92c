-- The move from a file that made this ledger, if one did: written in one commit with its rows, so that it can be told for certain
-- whether a move that was broken off had ended.
create table moved_here (
  move         text    primary key
);
