#!/bin/bash
# Entrypoint of the stand-in for dpage/pgadmin4: the real pgAdmin of PyPI, set up as the image does: a user of the variables,
# the servers of /pgadmin4/servers.json at the first start, gunicorn on port 80.
set -eu
package=$(echo /venv/lib/python3*/site-packages/pgadmin4)
export PGADMIN_SETUP_EMAIL=$PGADMIN_DEFAULT_EMAIL PGADMIN_SETUP_PASSWORD=$PGADMIN_DEFAULT_PASSWORD
export PYTHONPATH=/tmp/pgadmin PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=pgadmin
mkdir -p /tmp/pgadmin
# pgAdmin takes settings from a module of this name, wherever it is on the path.
cat >/tmp/pgadmin/config_local.py <<'PYTHON'
SERVER_MODE = True
DATA_DIR = "/var/lib/pgadmin"
LOG_FILE = "/var/lib/pgadmin/pgadmin4.log"
SQLITE_PATH = "/var/lib/pgadmin/pgadmin4.db"
SESSION_DB_PATH = "/var/lib/pgadmin/sessions"
STORAGE_DIR = "/var/lib/pgadmin/storage"
UPGRADE_CHECK_ENABLED = False
CONSOLE_LOG_LEVEL = 30
PYTHON
is_new=true
if [ -e /var/lib/pgadmin/pgadmin4.db ]; then is_new=false; fi
cd "$package"
if $is_new; then
  /venv/bin/python setup.py setup-db
  /venv/bin/python setup.py load-servers /pgadmin4/servers.json --user "$PGADMIN_DEFAULT_EMAIL"
fi
exec /venv/bin/gunicorn --bind 0.0.0.0:80 --workers 1 --threads 4 --chdir "$package" pgAdmin4:app
