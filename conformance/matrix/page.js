"use strict";
// Opens the dialog that the address names, so that a cell can be linked to; without this script
// the style sheet shows it instead.
function follow() {
  const name = decodeURIComponent(location.hash.slice(1));
  const target = name ? document.getElementById(name) : null;
  for (const dialog of document.querySelectorAll("dialog[open]")) {
    if (dialog !== target) {
      dialog.dataset.quiet = "yes";
      dialog.close();
    }
  }
  if (target instanceof HTMLDialogElement) {
    if (!target.open) target.showModal();
    target.scrollTop = 0;
  } else if (target) {
    target.scrollIntoView();
  }
}

function onClose(event) {
  const dialog = event.target;
  if (dialog.dataset.quiet) {
    delete dialog.dataset.quiet;
    return;
  }
  if (location.hash === "#" + dialog.id) history.replaceState(null, "", location.href.split("#")[0]);
  const opener = document.querySelector('a[href="#' + dialog.id + '"]');
  if (opener) opener.focus({preventScroll: true});
}

async function copy(button) {
  const text = button.closest(".copied").querySelector("code").textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    button.after(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.addEventListener("click", (event) => {
  if (event.target.matches("button.copy")) copy(event.target);
  if (event.target.matches("a.close")) {
    event.preventDefault();
    event.target.closest("dialog").close();
  }
  // A click beside the open dialog, on its backdrop.
  if (event.target instanceof HTMLDialogElement) event.target.close();
});
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", onClose);
document.documentElement.classList.add("scripted");
window.addEventListener("hashchange", follow);
follow();
