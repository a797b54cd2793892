// SPDX-License-Identifier: Apache-2.0
// Writes docs/limits.md from the table of budgets.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderLimitsPage } from "../src/model/limits/limits-page.ts";

writeFileSync(join(import.meta.dirname, "../docs/limits.md"), renderLimitsPage());
