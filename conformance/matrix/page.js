"use strict";
// Opens the dialog that the address names, so that a cell can be linked to; without this script
// the style sheet shows it instead.
function follow() {
  const name = location.hash.slice(1);
  const target = name ? document.getElementById(name) : null;
  for (const dialog of document.querySelectorAll("dialog[open]")) {
    if (dialog !== target) dialog.close();
  }
  if (target instanceof HTMLDialogElement) {
    if (!target.open) target.showModal();
    target.scrollTop = 0;
  } else if (target) {
    target.scrollIntoView();
  }
}

// Takes the address back from a dialog that was closed, and the focus to what opened it.
function leave(dialog) {
  if (location.hash !== "#" + dialog.id) return;
  history.replaceState(null, "", location.href.split("#")[0]);
  const opener = document.querySelector('a[href="#' + dialog.id + '"]');
  if (opener) opener.focus({preventScroll: true});
}

function shut(dialog) {
  dialog.close();
  leave(dialog);
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

// Whether a click fell on the backdrop of a dialog.
function isBeside(dialog, click) {
  const box = dialog.getBoundingClientRect();
  return click.clientX < box.left || click.clientX > box.right
    || click.clientY < box.top || click.clientY > box.bottom;
}

document.addEventListener("click", (event) => {
  if (event.target.matches("button.copy")) copy(event.target);
  if (event.target.matches("a.close")) {
    event.preventDefault();
    shut(event.target.closest("dialog"));
  }
  if (event.target instanceof HTMLDialogElement && isBeside(event.target, event)) {
    shut(event.target);
  }
});
// The Escape key closes a dialog, too.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => leave(dialog));
}
document.documentElement.classList.add("scripted");
window.addEventListener("hashchange", follow);
follow();
