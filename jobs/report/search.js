// Lists the entries of the page's index that contain the query: those with it in their title first, as a word before others.
const MOST = 50;
const plain = (text) => text.normalize("NFC").toLowerCase();
const entries = JSON.parse(document.getElementById("index").textContent);
const results = document.getElementById("results");

document.getElementById("query").addEventListener("input", (event) => {
  const query = plain(event.target.value.trim());
  const isIn = (text) => plain(text).includes(query);
  const hasWord = (text) => plain(text).split(/[^\p{L}\p{M}\p{N}]+/u).includes(query);
  const place = ([title, detail]) => [hasWord(title), isIn(title), hasWord(detail), true].indexOf(true);
  const found = query ? entries.filter((entry) => entry.some(isIn)) : [];
  found.sort((a, b) => place(a) - place(b));
  results.replaceChildren(...found.slice(0, MOST).map(([title, detail]) => {
    const item = document.createElement("li"), name = document.createElement("strong");
    name.textContent = title;
    item.append(name, " ", detail);
    return item;
  }));
  const more = found.length > MOST ? `, the first ${MOST} are shown` : "";
  document.getElementById("found").textContent = query ? `${found.length} found${more}` : "";
});
document.getElementById("search").hidden = false;
