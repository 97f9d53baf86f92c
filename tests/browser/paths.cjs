// The pages beside those that are always there, by what the project has.
"use strict";
module.exports = async () => [];
