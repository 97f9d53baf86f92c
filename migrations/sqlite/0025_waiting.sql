-- What is planned or held of a contract, so that it is found when the contract is stopped.
create index items_waiting on items (serial) where state in ('planned', 'held');
