// Keys of the dashboard, and a file that is dropped. Every page works without.
(() => {
  "use strict";
  const rows = () => [...document.querySelectorAll("table.rows tbody tr")].filter((row) => row.querySelector("a"));
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");
  const go = (step) => {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    const next = Math.min(all.length - 1, Math.max(0, at + step));
    if (at >= 0) all[at].classList.remove("at");
    all[next].classList.add("at");
    all[next].scrollIntoView({ block: "nearest" });
    all[next].querySelector("a").focus({ preventScroll: true });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "/") document.getElementById("search")?.focus();
    else if (event.key === "?") document.getElementById("keys")?.showModal();
    else return;
    event.preventDefault();
  });
  for (const drop of document.querySelectorAll(".drop")) {
    const file = drop.querySelector("input[type=file]");
    const over = (event) => { event.preventDefault(); drop.classList.add("over"); };
    drop.addEventListener("dragover", over);
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length > 0) file.files = event.dataTransfer.files;
    });
  }
  // How long it is until an instant; the page says the instant itself too.
  const clocks = [...document.querySelectorAll("[data-until]")];
  const tick = () => {
    for (const clock of clocks) {
      const left = Math.max(0, Math.ceil((Date.parse(clock.dataset.until) - Date.now()) / 1000));
      const two = (n) => String(n).padStart(2, "0");
      clock.textContent = `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    }
  };
  if (clocks.length > 0) { tick(); setInterval(tick, 1000); }
  // What renews itself and could not says so, until it can.
  const renewed = (well) => { const told = document.getElementById("not-renewed"); if (told) told.hidden = well; };
  for (const failed of ["htmx:response:error", "htmx:error"]) document.addEventListener(failed, () => renewed(false));
  document.addEventListener("htmx:after:swap", () => renewed(true));
  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    for (const button of event.target.querySelectorAll("button")) setTimeout(() => { button.disabled = true; }, 0);
  });
  window.addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("form button:disabled")) button.disabled = false;
  });
})();
