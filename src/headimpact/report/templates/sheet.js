(() => {
  const at = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll(".card")];
  const key = "headimpact-sheet:" + document.title + ":" + cards.map((card) => card.dataset.id).join(",");
  let marked = new Set();
  try { marked = new Set(JSON.parse(localStorage.getItem(key) || "[]")); } catch { /* a page from a file may have none */ }
  const show = () => {
    const category = at("category").value;
    for (const card of cards) {
      const is = marked.has(card.dataset.id);
      card.classList.toggle("marked", is);
      card.querySelector(".bad").checked = is;
      const fits = !category || JSON.parse(card.dataset.categories).includes(category);
      card.hidden = !fits || (at("only").checked && !is);
    }
    const ids = cards.map((card) => card.dataset.id).filter((id) => marked.has(id));
    at("count").textContent = ids.length;
    at("list").value = ids.map((id) => id + "\n").join("");
    try { localStorage.setItem(key, JSON.stringify(ids)); } catch { /* marks last as long as the page, then */ }
  };
  for (const card of cards) {
    card.querySelector(".bad").addEventListener("change", (event) => {
      marked[event.target.checked ? "add" : "delete"](card.dataset.id);
      show();
    });
  }
  at("category").addEventListener("change", show);
  at("only").addEventListener("change", show);
  at("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([at("list").value], { type: "text/plain" }));
    link.download = "bad.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  at("copy").addEventListener("click", () => { at("list").select(); document.execCommand("copy"); });
  show();
})();
