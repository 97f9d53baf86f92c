-- At the console anybody can give any name: the user of the machine is kept beside it, and compared where somebody approves.
alter table runs add column author_user text; -- none where the author has proved the name, or the run is older than this
