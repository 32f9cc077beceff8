"use strict";
{
  const form = document.getElementById("filter");
  const rows = Array.from(document.querySelectorAll(".rows tbody tr"));
  const tables = Array.from(document.querySelectorAll("section.runtime"));

  const apply = () => {
    const verdict = form.elements.verdict.value;
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const title = row.closest("section").querySelector("h3").textContent;
      const text = words.length ? `${title} ${row.textContent}`.toLowerCase() : "";
      row.hidden = !((verdict === "all" || row.className === verdict) && words.every((word) => text.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    for (const table of tables) {
      table.hidden = !table.querySelector("tbody tr:not([hidden])");
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
  };

  // A link to a row that the filter hides shows all rows again.
  const reveal = () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.hidden) {
      form.reset();
      apply();
      row.scrollIntoView();
    }
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", reveal);
    apply();
  }
}
