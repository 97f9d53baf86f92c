// The pages beside those that are always there, by what the project has.
"use strict";
module.exports = async ({ run, held, one }) => {
  const items = ["succeeded", "failed", "rejected", "unknown", "planned"].map(one).filter(Boolean);
  return [
    "/unknown", "/approvals", `/approvals/${held}/deduct`, "/upload", "/bulk",
    `/items?run=${run}`, `/items?run=${run}&state=rejected`, `/bulk?run=${run}&state=failed&action=retry`,
    ...items.map((item) => `/items/${item}`),
  ];
};
