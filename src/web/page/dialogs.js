// The dialogs: help, keys, a session's menu, and questions before something is gone for good.

import { Problem, wordsOf } from './api.js';
import { fullDate } from './dates.js';
import { element } from './element.js';
import { current, say } from './language.js';
import { ruleOf } from './rules.js';

const KEYS = [
    ['Enter', 'key_send'],
    ['Shift + Enter', 'key_line'],
    ['Esc', 'key_stop'],
    ['↑', 'key_last'],
    ['Ctrl + K, /', 'key_search'],
    ['Ctrl + Shift + O', 'key_new'],
    ['Ctrl + /, ?', 'key_keys'],
];
let count = 0;

/**
 * Opens a dialog over the page; it closes with Esc, its own button, or a click beside it, and gives the keyboard back to
 * where it was.
 * @param {string} title
 * @param {(Node | string)[]} content
 * @param {{id?: string, close?: string}} options `close`: what the closing button says
 */
export function open(title, content, { id, close = say('close') } = {}) {
    count += 1;
    const heading = element('h2', { id: `dialog-${count}` }, title);
    const button = element('button', { type: 'button', class: 'close', onclick: () => dialog.close() }, close);
    let isBeside = false;
    const body = element(
        'div',
        { class: 'dialog-body' },
        heading,
        content,
        element('div', { class: 'dialog-end' }, button),
    );
    const dialog = element(
        'dialog',
        {
            id,
            'aria-labelledby': heading.id,
            // Beside from the beginning: text that is marked past the edge is no click beside it.
            onpointerdown: (event) => {
                isBeside = event.target === dialog;
            },
            onclick: (event) => {
                if (isBeside && event.target === dialog) dialog.close();
            },
            onclose: () => {
                dialog.remove();
                // Where the keyboard was may be gone with what was deleted.
                const near = document.getElementById('text') ?? document.getElementById('title');
                if (document.activeElement === document.body) near?.focus();
            },
        },
        body,
    );
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
}

/**
 * Asks before something is done that can't be undone. `act` may throw: its message is shown, and the dialog stays.
 * @param {{title: string, text: string, action: string, fields?: Node[], act: Function}} question
 * @returns {HTMLDialogElement}
 */
export function confirm({ title, text, action, fields = [], act }) {
    const fault = element('p', { class: 'fault', role: 'alert', hidden: true, tabindex: -1 });
    const button = element('button', { type: 'submit', class: 'danger' }, action);
    const form = element(
        'form',
        {
            novalidate: true,
            onsubmit: async (event) => {
                event.preventDefault();
                button.disabled = true;
                try {
                    check(form);
                    await act(form);
                    dialog.close();
                } catch (error) {
                    fault.textContent = wordsOf(error);
                    fault.hidden = false;
                    (form.querySelector('input') ?? fault).focus();
                }
                button.disabled = false;
            },
        },
        element('p', {}, text),
        fields,
        fault,
        button,
    );
    const dialog = open(title, [form], { id: 'confirm', close: say('cancel') });
    // The first key must not be the one that deletes.
    if (fields.length === 0) dialog.querySelector('.close').focus();
    return dialog;
}

/** Where people in danger find people who help; one tap away from everywhere. */
export function help(about) {
    const lines = about.helplines.map(({ id, number, text }) => {
        const words = text[current()] ?? text.en;
        const isSite = number.includes('.');
        const href = isSite ? `https://${number}` : `tel:${number.replace(/\s/g, '')}`;
        const [before, after] = words.split(number);
        const link = element('a', isSite ? { href, target: '_blank', rel: 'noopener noreferrer' } : { href }, number);
        return element('li', { 'data-helpline': id }, before, link, after ?? '');
    });
    const checked = about.helplines.map((line) => line.checked_on).sort()[0];
    open(
        say('get_help'),
        [
            element('p', {}, say('help_text')),
            element('ul', { class: 'helplines' }, lines),
            checked ? element('p', { class: 'hint' }, say('help_checked', { date: fullDate(checked) })) : null,
            element('p', { class: 'hint' }, say('fact_program')),
        ],
        { id: 'help-dialog' },
    );
}

/** The list of keys. */
export function keys() {
    const rows = KEYS.map(([key, words]) =>
        element('div', {}, element('dt', {}, element('kbd', {}, key)), element('dd', {}, say(words))),
    );
    open(say('keys'), [element('dl', { class: 'keys' }, rows)], { id: 'keys-dialog' });
}

/** A session's menu: its title, and the way to delete it. */
export function session({ title, rename, remove }) {
    const field = element('input', {
        id: 'session-title',
        name: 'title',
        type: 'text',
        maxlength: 200,
        required: true,
        dir: 'auto',
        autocomplete: 'off',
        value: title ?? '',
    });
    const fault = element('p', { class: 'fault', role: 'alert', hidden: true });
    const form = element(
        'form',
        {
            novalidate: true,
            onsubmit: async (event) => {
                event.preventDefault();
                try {
                    check(form);
                    await rename(field.value);
                    dialog.close();
                } catch (error) {
                    fault.textContent = wordsOf(error);
                    fault.hidden = false;
                    field.focus();
                }
            },
        },
        element('label', { for: field.id }, say('title')),
        field,
        fault,
        element('button', { type: 'submit', class: 'primary' }, say('rename')),
    );
    const button = element(
        'button',
        {
            type: 'button',
            class: 'danger',
            onclick: () => {
                dialog.close();
                remove();
            },
        },
        say('delete_session'),
    );
    const dialog = open(say('session'), [form, button], { id: 'session-dialog' });
    field.select(); // What is typed takes the place of the title.
}

/** @throws {Problem} where a field breaks a rule */
function check(form) {
    const wrong = [...form.querySelectorAll('input')].find((input) => !input.checkValidity());
    if (wrong) throw new Problem(422, { detail: ruleOf(wrong) }, null);
}
