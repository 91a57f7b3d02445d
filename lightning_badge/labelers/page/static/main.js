// Wires the page: keys and buttons to labeling and review, replies of the server to both.

import { ClassPad } from "./class_pad.js";
import { COMMANDS, commandOf, isElsewhere, singleKeys } from "./commands.js";
import { Conversation } from "./conversation.js";
import { Labeling } from "./labeling.js";
import { askClass, askFlag, askName, closes, isOpen, showExamples, showGuidelines, showHelp } from "./dialogs.js";
import { $, button, count, counted } from "./elements.js";
import { Notices, showProgress } from "./notices.js";
import { Outbox } from "./outbox.js";
import { Review } from "./review.js";
import { Why } from "./why.js";

const NAME = "lightning_badge_name";
const IN_REVIEW = ["help", "guidelines"]; // commands that the review has, too
const page = { title: "Label", classes: [], multilabel: false, acceptChanges: false, examples: {}, guidelines: null, run: null, isSearch: false };
let progress = null; // as the server sent it last

const notices = new Notices();
const outbox = new Outbox();
const pad = new ClassPad($("pad"), {
  choose: (label) => labeling.answer("label", label),
  add: (name) => (name === null ? labeling.current && askClass(addClass) : addClass(name)),
});
const labeling = new Labeling(outbox, pad, {
  author: () => conversation.author,
  round: () => progress?.round ?? 0,
  sent: () => conversation.wake(),
  shown: (item) => {
    why.show(item);
    focusSearch();
  },
});
const conversation = new Conversation(outbox, {
  opened, reply, refused, trouble,
  isEmpty: () => !labeling.held.current,
  dropUnseen: () => labeling.held.dropUnseen(),
});
const why = new Why((name, body) => conversation.read(name, body));
const review = new Review({
  read: (name, body) => conversation.read(name, body),
  correct: (item, status, label) => labeling.correct(item, status, label),
  annotator: () => conversation.labeler,
  close: () => showReview(false),
});

const actions = {
  skip: () => labeling.answer("skip"),
  undo: () => labeling.undo(),
  zoom: () => labeling.zoom.step(),
  flag: () => labeling.current && flag(labeling.current),
  guidelines: () => {
    showGuidelines(page);
    conversation.reopen(); // there may be more examples now
  },
  why: () => why.toggle(labeling.held.current ?? null, page.classes),
  review: () => showReview(true),
  help: () => showHelp(page),
};

function opened(answer) {
  const { title, kind, classes, multilabel, accept_changes: acceptChanges, examples, guidelines, run } = answer;
  const isSame = page.run === run && JSON.stringify(page.classes) === JSON.stringify(classes);
  Object.assign(page, { title, kind, classes, multilabel, acceptChanges, examples, guidelines, run });
  document.title = `${title} · Label`;
  $("title").textContent = title;
  if (!isSame) pad.draw(page); // else what is typed or chosen stays
  page.isSearch = pad.isSearch;
  labeling.open(page);
  showExamples(page);
  reply(answer);
  focusSearch();
  showReview(location.hash === "#review");
}

/** Takes what a reply says: samples that are held, and progress. */
function reply({ items, progress: now }) {
  const before = progress;
  progress = now;
  const isNewRound = before !== null && before.round !== null && now.round > before.round;
  if (items) labeling.take(items, now);
  else if (!labeling.held.current) labeling.show(now);
  if (isNewRound) {
    notices.pass(`A better ordering is in use: round ${now.round}.`);
    conversation.swap(); // what is on screen stays; the rest comes by the new ordering
  }
  const isStarted = before?.state === "starting" && now.state !== "starting";
  if (isStarted || (now.classes !== undefined && now.classes !== page.classes.length)) conversation.reopen();
  refreshProgress();
}

function refreshProgress() {
  if (!progress) return;
  showProgress(progress, labeling.pace.perMinute());
  const isTraining = progress.state === "training" && labeling.held.current;
  notices.set("training", isTraining ? "A model is training. Go on: nothing waits for it." : null);
  const isEnd = { ended: "The run is complete.", allowance_used: "That is all for today." }[progress.state];
  notices.set("end", isEnd && labeling.held.current ? `${isEnd} This sample may still be answered.` : null);
}

function refused(reasons) {
  const more = reasons.length > 1 ? ` (and ${count(reasons.length - 1)} more)` : "";
  notices.keep("refused", `${counted(reasons.length, "answer")} not accepted: ${reasons[0]}${more}`);
}

function trouble(error) {
  const waiting = outbox.size ? ` ${counted(outbox.size, "answer")} kept in this browser, to be sent.` : "";
  let text = null;
  if (error?.status === 401) text = "This address is not valid any more. Open the address that the terminal shows.";
  else if (error) text = `Not connected: ${error.message}.`;
  notices.set("trouble", text === null ? null : text + waiting, "warning");
  const isLost = !outbox.isKept && outbox.size > 0;
  notices.set("kept", isLost ? "This browser keeps nothing: leave the page open until all answers are sent." : null, "warning");
}

function addClass(name) {
  labeling.answer("label", null, name);
}

function flag(item) {
  askFlag(async (comment) => {
    const answer = await conversation.read("flag", { key: item.key, comment });
    reply(answer);
    notices.pass(`Sample ${item.id} is flagged.`);
  });
}

/** Opens or closes the review, at once; it has an address, so that the browser's Back closes it. */
function showReview(isWanted) {
  const hash = isWanted ? "#review" : "";
  if (location.hash !== hash) location.hash = hash;
  if (isWanted === review.isOpen) return;
  if (isWanted) review.open(page);
  else review.close();
  focusSearch();
}

/** People who type names begin at once; on a touch screen that would open the keyboard. */
function focusSearch() {
  const isTouch = matchMedia("(pointer: coarse)").matches;
  if (pad.searchBox && !isTouch && !isOpen() && !review.isOpen) pad.searchBox.focus({ preventScroll: true });
}

function startAs(name) {
  sessionStorage.setItem(NAME, name);
  $("name").textContent = name;
  labeling.leave();
  progress = null;
  conversation.startAs(name);
}

function keyed(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if (closes(event)) return event.preventDefault();
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !isOpen() && !review.isOpen) return act("undo", event);
  if (isOpen() || isElsewhere(event)) return;
  const typed = pad.searchBox && document.activeElement === pad.searchBox ? pad.searchBox.value : "";
  if (!singleKeys.isOn && !["Enter", "Escape", "ArrowDown", "ArrowUp"].includes(event.key)) return;
  if (event.repeat && !typed) return event.preventDefault(); // a key that is held down answers once
  const command = typed ? undefined : commandOf(event);
  if (review.isOpen && !IN_REVIEW.includes(command?.name)) return review.key(event) && event.preventDefault();
  if (command) return act(command.name, event);
  if (event.key === "Escape" && !typed) return leave(event);
  if (pad.key(event)) event.preventDefault();
}

function act(name, event) {
  event.preventDefault();
  actions[name]();
}

/** Escape: normal size again, else close the panel. */
function leave(event) {
  event.preventDefault();
  if (labeling.zoom.isZoomed) labeling.zoom.out();
  else why.close();
}

for (const { name, shown, text } of COMMANDS.filter((one) => !["review", "help"].includes(one.name))) {
  const made = button(text, shown, () => actions[name](), { "data-command": name });
  made.setAttribute("aria-keyshortcuts", shown);
  $("commands").append(made);
}
$("open-review").addEventListener("click", actions.review);
$("open-help").addEventListener("click", actions.help);
$("name").addEventListener("click", () => askName(false, (name) => name !== conversation.labeler && startAs(name)));
addEventListener("keydown", keyed);
addEventListener("hashchange", () => showReview(location.hash === "#review"));
document.addEventListener("visibilitychange", () => !document.hidden && conversation.labeler && conversation.ask());
addEventListener("pageshow", (event) => event.persisted && conversation.ask());
addEventListener("pagehide", () => conversation.labeler && !outbox.hasOf(conversation.author.session) && conversation.release());
addEventListener("beforeunload", (event) => !outbox.isKept && outbox.size && event.preventDefault());
setInterval(refreshProgress, 5000);
const name = sessionStorage.getItem(NAME); // this tab goes on after a reload
if (name) startAs(name);
else askName(true, startAs);
