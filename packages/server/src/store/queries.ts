import type { Kysely, Transaction } from 'kysely';
import type { Schema } from './schema.ts';

/** Where queries run: a transaction for writes, the database for reads. */
export type Queries = Kysely<Schema> | Transaction<Schema>;
