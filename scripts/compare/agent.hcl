# `bao agent` as a supervisor of one process; HANDOVER is the folder that the role id and the secret id lie in.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "HANDOVER/role-id"
      secret_id_file_path                 = "HANDOVER/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

env_template "PGUSER" {
  contents = "{{ with secret \"database/creds/app-role\" }}{{ .Data.username }}{{ end }}"
}

env_template "PGPASSWORD" {
  contents = "{{ with secret \"database/creds/app-role\" }}{{ .Data.password }}{{ end }}"
}

exec {
  command = COMMAND
}
