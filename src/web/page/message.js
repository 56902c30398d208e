// How one message looks: who said it and when, its text, how it stands, and what can be done with it.

import { copyText } from './clipboard.js';
import { fullTime, timeOf } from './dates.js';
import { element } from './element.js';
import { say } from './language.js';
import { draw } from './markdown.js';

/**
 * @typedef {object} Item what is to be shown in one place of the log
 * @property {string} key
 * @property {number} [seq]
 * @property {'user' | 'assistant' | 'system' | 'developer'} role
 * @property {string} content
 * @property {string} state how it stands; see README; 'erased'; or the outbox: 'sending', 'unconfirmed', 'refused'
 * @property {string | number} [at]
 * @property {string} [detail]
 * @property {string} [quote] the beginning of the message that it answers, where that is not right above it
 * @property {string[]} actions 'copy', 'unfold', 'retry', 'again', 'resend', 'edit', 'drop'
 */

/** What makes a row look different, in one string. */
export function looks(item) {
    return [item.state, item.detail, item.quote, item.at, item.actions.join()].join('\n');
}

/**
 * Makes the row of a message.
 * @param {Item} item
 * @param {(action: string, item: Item) => void} act
 */
export function row(item, act) {
    const text = element('div', { class: 'text', dir: 'auto' });
    const node = element(
        'article',
        { class: 'message' },
        element('header', { class: 'who' }),
        text,
        element('footer', { class: 'foot' }),
    );
    update(node, item, act);
    return node;
}

/** Brings a row up to date: the text and what stands around it. */
export function update(node, item, act) {
    const [head, , foot] = [node.querySelector('.who'), null, node.querySelector('.foot')];
    node.dataset.role = item.role;
    node.dataset.state = item.state;
    node.classList.toggle('folds', item.actions.includes('unfold'));
    if (item.seq !== undefined) node.dataset.seq = item.seq;
    const name = speaker(item.role);
    node.setAttribute('aria-label', item.at ? `${name}, ${timeOf(item.at)}` : name);
    head.replaceChildren(...who(item, name));
    keepFocus(foot, () => foot.replaceChildren(...state(item), actions(item, act)));
    words(node, item);
}

/** Shows the text of a row: a reply in Markdown, a user's message as it was written. */
export function words(node, item) {
    const text = node.querySelector('.text');
    if (item.role === 'assistant') draw(text, item.content, { say });
    else if (text.textContent !== item.content) text.textContent = item.content;
    const isWaiting = item.state === 'answering' && item.role === 'assistant' && item.content === '';
    node.classList.toggle('waiting', isWaiting);
}

/** Who speaks, in words. */
export function speaker(role) {
    if (role === 'user') return say('you');
    return role === 'assistant' ? say('bondhu') : say('instructions_speaker');
}

function who(item, name) {
    const parts = [element('span', { class: 'name' }, name)];
    if (item.at) {
        const date = new Date(item.at);
        parts.push(element('time', { datetime: date.toISOString(), title: fullTime(date) }, timeOf(date)));
    }
    if (item.quote)
        parts.push(element('span', { class: 'quote', dir: 'auto' }, say('in_answer_to', { text: item.quote })));
    return parts;
}

/** How it stands, in words; what went well stands there for those who listen, and shows as a tick. */
function state({ role, state: standing, detail }) {
    if (standing === 'noted') return [element('span', { class: 'state' }, say('state_noted'))];
    if (standing === 'erased') return [element('span', { class: 'state' }, say('state_erased'))];
    const key = `state_${role}_${standing}`;
    const text = say(key);
    if (text === key) return [];
    const isWell = role === 'user' && ['stored', 'answered', 'answering'].includes(standing);
    const parts = [element('span', { class: isWell ? 'state well' : 'state' }, text)];
    if (detail)
        parts.push(
            element('span', { class: 'detail', dir: 'auto', lang: standing === 'failed' ? 'en' : null }, detail),
        );
    return parts;
}

function actions(item, act) {
    const buttons = item.actions.map((action) =>
        element(
            'button',
            {
                type: 'button',
                class: `action ${action}`,
                'data-action': action,
                'aria-expanded': action === 'unfold' ? 'false' : undefined,
                onclick: (event) => {
                    if (action === 'copy') copy(event.currentTarget, item);
                    else if (action === 'unfold') unfold(event.currentTarget);
                    else act(action, item);
                },
            },
            say(`action_${action}`),
        ),
    );
    return element('span', { class: 'actions' }, buttons);
}

async function copy(button, item) {
    const worked = await copyText(item.content);
    button.textContent = say(worked ? 'copied' : 'not_copied');
    setTimeout(() => {
        button.textContent = say('action_copy');
    }, 2000);
}

/** A reply that was replaced, and a very long text, show their beginning only, until somebody asks for all of it. */
function unfold(button) {
    const isUnfolded = button.closest('.message').classList.toggle('unfolded');
    button.setAttribute('aria-expanded', String(isUnfolded));
}

/** What is drawn anew takes the keyboard's place with it: the same button, or the row. */
function keepFocus(part, redraw) {
    const focused = part.contains(document.activeElement) ? document.activeElement.dataset.action : undefined;
    redraw();
    if (focused === undefined) return;
    const same = part.querySelector(`[data-action="${focused}"]`) ?? part.querySelector('button');
    if (same) same.focus();
    else document.getElementById('text')?.focus();
}
