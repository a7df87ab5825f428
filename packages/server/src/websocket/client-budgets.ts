import { Budget, PeerBudget, type PeerLimits } from '@backhaul/protocol';

/** Number of disconnects for abuse after which a client may still reconnect immediately. */
const FREE_DISCONNECTS = 3;
/** After that it is refused for this long, increasing by this with each further disconnect. */
const BAN_SECONDS = 30;
/** By then every debt is paid off. */
const FORGET_AFTER_MS = 10 * 60_000;

const CLOCKS = {
  /** On a busy machine time passes in which this thread does not run; no agent has to pay for that. */
  cpuMs: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** One client's budget. There are as many as agents, so rarely needed fields are created lazily. */
export class ClientAccount {
  readonly clientId: string;
  readonly budget: PeerBudget;
  connections = 0;
  forgetting: NodeJS.Timeout | undefined;
  #abuses: Budget | undefined;

  constructor(clientId: string, limits: PeerLimits) {
    this.clientId = clientId;
    this.budget = new PeerBudget(limits, CLOCKS);
  }

  /** Called when it is disconnected for too many protocol violations. */
  abused(): void {
    this.#abuses ??= new Budget({ perSecond: 1 / BAN_SECONDS, burst: FREE_DISCONNECTS });
    this.#abuses.spend(1);
  }

  /** How long the client is still refused after too many disconnects for abuse; milliseconds. */
  get banRemainingMs(): number {
    return this.#abuses?.debtMs ?? 0;
  }
}

/** The accounts of all clients. They outlive connections, so that reconnecting pays no debt off. */
export class ClientBudgets {
  readonly #limits: PeerLimits;
  readonly #accounts = new Map<string, ClientAccount>();

  constructor(limits: PeerLimits) {
    this.#limits = limits;
  }

  /** How long the client is still refused; milliseconds. */
  banRemainingMs(clientId: string): number {
    return this.#accounts.get(clientId)?.banRemainingMs ?? 0;
  }

  /** For one connection, from its start to its end. */
  open(clientId: string): ClientAccount {
    const account = this.#accounts.get(clientId) ?? new ClientAccount(clientId, this.#limits);
    this.#accounts.set(clientId, account);
    account.connections += 1;
    clearTimeout(account.forgetting);
    return account;
  }

  /** One of the connections that `open` was called for has ended. */
  close(account: ClientAccount): void {
    account.connections -= 1;
    if (account.connections > 0) return;
    const forget = () => this.#accounts.delete(account.clientId);
    account.forgetting = setTimeout(forget, FORGET_AFTER_MS).unref();
  }
}
