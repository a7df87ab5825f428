import assert from 'node:assert/strict';
import { z } from 'zod';

const policyDocumentSchema = z.strictObject({
  Version: z.literal('2012-10-17'),
  Statement: z.array(
    z.strictObject({
      Sid: z.string(),
      Effect: z.enum(['Allow', 'Deny']),
      Principal: z.literal('*').optional(),
      Action: z.union([z.string(), z.array(z.string())]),
      Resource: z.union([z.string(), z.array(z.string())]),
      Condition: z.record(z.string(), z.record(z.string(), z.string())).optional(),
    }),
  ),
});
export type PolicyDocument = z.infer<typeof policyDocumentSchema>;

/** @throws ZodError */
export function readPolicy(value: unknown): PolicyDocument {
  return policyDocumentSchema.parse(value);
}

/** Returns each allowed action with its resource. */
export function allowed({ Statement }: PolicyDocument): { action: string; resource: string }[] {
  return Statement.flatMap(({ Effect, Action, Resource }) => {
    assert.equal(Effect, 'Allow');
    return [Action].flat().flatMap((action) => [Resource].flat().map((resource) => ({ action, resource })));
  });
}
