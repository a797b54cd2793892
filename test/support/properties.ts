// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";

/**
 * Random inputs that are the same in each run, so that a failure belongs to the change that is tested. Others are looked
 * for with `ATTACHE_TEST_SEED` set to any whole number.
 */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env["ATTACHE_TEST_SEED"] ?? 20_261_121) });

export { fc };
