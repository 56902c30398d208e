// Where a message is written: a box that grows, Send or Stop, and what the keys do in it.

import { element } from './element.js';
import { say } from './language.js';

/** The box grows up to this part of the window's height. */
const HEIGHT_PART = 0.4;
/** How near to the longest message the count is shown, characters. */
const COUNT_NEAR = 200;

/** Screen keyboards have no Shift+Enter: there, Enter makes a line and the button sends. */
const isTouched = () => matchMedia('(pointer: coarse)').matches;

/** The form at the bottom of a conversation. */
export class Composer {
    #listeners;
    #max;
    #isAnswering = false;
    #isComposing = false;

    /**
     * @param {{max: number, send: Function, stop: Function, typed: Function, last: Function}} listeners `max`: characters of
     *     a message; `send(text)`; `stop()`; `typed(text)` after each change; `last()`: the text that was sent last
     */
    constructor({ max, ...listeners }) {
        this.#max = max;
        this.#listeners = listeners;
        this.box = element('textarea', {
            id: 'text',
            name: 'text',
            rows: 1,
            dir: 'auto',
            enterkeyhint: isTouched() ? 'enter' : 'send',
            autocomplete: 'off',
            placeholder: say('message_placeholder'),
            'aria-label': say('message'),
            'aria-describedby': 'count',
            oninput: () => this.#typed(),
            onkeydown: (event) => this.#key(event),
            oncompositionstart: () => {
                this.#isComposing = true;
            },
            oncompositionend: () => {
                this.#isComposing = false;
            },
        });
        this.count = element('span', { id: 'count', class: 'count', hidden: true });
        this.sendButton = element(
            'button',
            { id: 'send', type: 'submit', class: 'primary', disabled: true },
            say('send'),
        );
        this.stopButton = element(
            'button',
            { id: 'stop', type: 'button', hidden: true, onclick: () => this.#stop() },
            say('stop'),
        );
        this.node = element(
            'form',
            { id: 'composer', onsubmit: (event) => this.#submit(event) },
            this.box,
            this.count,
            this.sendButton,
            this.stopButton,
        );
        let width = 0;
        new ResizeObserver(([{ contentRect }]) => {
            if (contentRect.width !== width) this.#grow();
            ({ width } = contentRect);
        }).observe(this.node);
    }

    get text() {
        return this.box.value;
    }

    /** Puts text into the box, as if it had been typed. */
    set text(text) {
        this.box.value = text;
        this.#typed();
        this.box.setSelectionRange(text.length, text.length);
    }

    /** Whether a reply is being made: then Stop stands where Send did, until something is typed. */
    set isAnswering(isAnswering) {
        this.#isAnswering = isAnswering;
        this.#buttons();
    }

    focus() {
        this.box.focus();
    }

    #typed() {
        this.#grow();
        this.#buttons();
        this.#listeners.typed(this.text);
    }

    #grow() {
        this.box.style.height = 'auto';
        this.box.style.height = `${Math.min(this.box.scrollHeight, window.innerHeight * HEIGHT_PART)}px`;
    }

    #buttons() {
        const length = [...this.text].length;
        const isSayable = this.text.trim() !== '' && length <= this.#max;
        const stops = this.#isAnswering;
        const hadFocus = [this.sendButton, this.stopButton].includes(document.activeElement);
        this.sendButton.disabled = !isSayable;
        this.sendButton.hidden = stops && !isSayable;
        this.stopButton.hidden = !stops;
        this.count.hidden = length < this.#max - COUNT_NEAR;
        const left = this.#max - length;
        this.count.textContent = this.count.hidden
            ? ''
            : say(left < 0 ? 'characters_over' : 'characters_left', { n: Math.abs(left) });
        this.count.classList.toggle('over', length > this.#max);
        if (hadFocus && (document.activeElement === document.body || document.activeElement?.hidden)) this.focus();
    }

    #submit(event) {
        event.preventDefault();
        const { text } = this;
        // On a phone the button may be tapped while the keyboard still composes; what is in the box is what is meant.
        if (text.trim() === '' || [...text].length > this.#max) return;
        this.text = '';
        this.#listeners.send(text);
        this.focus();
    }

    #stop() {
        this.#listeners.stop();
        this.focus();
    }

    #key(event) {
        // 229: a key that the input method took (Safari ends the composition before it tells of Enter).
        if (event.isComposing || this.#isComposing || event.keyCode === 229) return;
        if (
            event.key === 'Enter' &&
            !isTouched() &&
            !event.shiftKey &&
            !event.altKey &&
            !event.ctrlKey &&
            !event.metaKey
        ) {
            event.preventDefault();
            this.node.requestSubmit();
        } else if (event.key === 'ArrowUp' && this.text === '') {
            const last = this.#listeners.last();
            if (last) {
                event.preventDefault();
                this.text = last;
            }
        }
    }
}
