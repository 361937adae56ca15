/* The source package that this sqlite3.c comes from ends with a hook of its maker, which is not
 * called. */
static int sqlite3_sqlean_init(void) { return 0; }
