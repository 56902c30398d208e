// The other side of `stage.rs`: servers, gates and kills for tests that are written in JavaScript.

import net from 'node:net';
import readline from 'node:readline';

/** A connection to the test that runs this one. */
export class Stage {
    #lines;
    #socket;
    #gates = 0;

    constructor() {
        const [host, port] = process.env.BONDHU_STAGE.split(':');
        this.#socket = net.connect(Number(port), host);
        this.#lines = readline.createInterface({ input: this.#socket })[Symbol.asyncIterator]();
    }

    close() {
        this.#socket.destroy();
    }

    async ask(what, more = {}) {
        this.#socket.write(`${JSON.stringify({ do: what, ...more })}\n`);
        const { value, done } = await this.#lines.next();
        if (done) throw new Error(`the test that was asked to ${what} has ended`);
        return JSON.parse(value);
    }

    /** A server of its own; `rough` where answers of the 500s are wanted. */
    server(settings = [], rough = false) {
        return this.ask('server', { settings, rough });
    }

    /** Ends the server by SIGKILL and starts it again on the same data. */
    async kill(server) {
        server.base_url = (await this.ask('kill', { server: server.id })).base_url;
    }

    /** A gate that no other test has: it holds back a reply of the model, word by word. */
    gate() {
        const gate = `gate-${process.pid}-${this.#gates++}`;
        return {
            held: (text) => `[[gate ${gate}]] ${text}`,
            step: () => this.ask('step', { gate }),
            release: () => this.ask('release', { gate }),
        };
    }

    /** What the model was asked with, request by request. */
    async seen() {
        return (await this.ask('seen')).bodies;
    }

    /** What was said in the newest request, without what the system says. */
    async spoken() {
        const { messages } = (await this.seen()).at(-1);
        return messages.filter(({ role }) => role !== 'system').map(({ role, content }) => [role, content]);
    }

    /** Waits until nobody hears the model any more. */
    gone() {
        return this.ask('gone');
    }
}
