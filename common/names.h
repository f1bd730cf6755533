/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every name that somebody outside this program may hold on to. Chosen once,
 * stated here alone.
 */
#ifndef VGPU_NAMES_H
#define VGPU_NAMES_H

#define VGPU_BUS_NAME "org.vgpu.Mediator1"
#define VGPU_OBJECT_MANAGER "/org/vgpu/Mediator1"
#define VGPU_OBJECT_POOL "/org/vgpu/Mediator1/pool"
#define VGPU_OBJECT_SESSION "/org/vgpu/Mediator1/session"
#define VGPU_OBJECT_VM "/org/vgpu/Mediator1/vm"
#define VGPU_INTERFACE_MANAGER "org.vgpu.Mediator1.Manager"
#define VGPU_INTERFACE_POOL "org.vgpu.Mediator1.Pool"
#define VGPU_INTERFACE_SESSION "org.vgpu.Mediator1.Session"
#define VGPU_INTERFACE_VM "org.vgpu.Mediator1.VM"

#define VGPU_BUS_ERROR_NO_SUCH_VM "org.vgpu.Mediator1.Error.NoSuchVM"
#define VGPU_BUS_ERROR_NO_SUCH_POOL "org.vgpu.Mediator1.Error.NoSuchPool"
#define VGPU_BUS_ERROR_NO_SUCH_SESSION "org.vgpu.Mediator1.Error.NoSuchSession"
#define VGPU_BUS_ERROR_INVALID_PRIORITY "org.vgpu.Mediator1.Error.InvalidPriority"
#define VGPU_BUS_ERROR_INVALID_NAME "org.vgpu.Mediator1.Error.InvalidName"
#define VGPU_BUS_ERROR_INVALID_UUID "org.vgpu.Mediator1.Error.InvalidUUID"
#define VGPU_BUS_ERROR_INVALID_LIMIT "org.vgpu.Mediator1.Error.InvalidLimit"
#define VGPU_BUS_ERROR_VM_EXISTS "org.vgpu.Mediator1.Error.VMExists"
#define VGPU_BUS_ERROR_VM_ID_TAKEN "org.vgpu.Mediator1.Error.VMIDTaken"
#define VGPU_BUS_ERROR_NOT_REGISTERED "org.vgpu.Mediator1.Error.NotRegistered"
#define VGPU_BUS_ERROR_NOT_KEPT "org.vgpu.Mediator1.Error.NotKept"
#define VGPU_BUS_ERROR_UNREADABLE "org.vgpu.Mediator1.Error.Unreadable"

/* polkit's actions. */
#define VGPU_ACTION_MANAGE_VMS "org.vgpu.mediator1.manage-vms"
#define VGPU_ACTION_REGISTER_VM "org.vgpu.mediator1.register-vm"
#define VGPU_ACTION_MANAGE_POOLS "org.vgpu.mediator1.manage-pools"
#define VGPU_ACTION_RELOAD "org.vgpu.mediator1.reload"

/* Other people's. */
#define VGPU_MACHINED_NAME "org.freedesktop.machine1"
#define VGPU_POLKIT_NAME "org.freedesktop.PolicyKit1"
#define VGPU_SYSTEMD_NAME "org.freedesktop.systemd1"
#define VGPU_SYSTEMD_OBJECT "/org/freedesktop/systemd1"

/* FileDescriptorName= of the listening socket in vgpu-mediator.socket. */
#define VGPU_FDNAME_LISTEN "mediator"

/* ListenStream= of vgpu-executor.socket. */
#define VGPU_EXECUTOR_SOCKET "/run/vgpu/executor.sock"

/* Journal fields, beside the usual ones. */
#define VGPU_FIELD_VM "VGPU_VM"                 /* the VM's name */
#define VGPU_FIELD_VM_ID "VGPU_VM_ID"           /* its number */
#define VGPU_FIELD_POOL "VGPU_POOL"             /* a pool's letter */
#define VGPU_FIELD_REQUEST_ID "VGPU_REQUEST_ID" /* the guest's tag */
#define VGPU_FIELD_ERROR "VGPU_ERROR"           /* a name from the ABI's error table */
#define VGPU_FIELD_PEER_PID "VGPU_PEER_PID"
#define VGPU_FIELD_VM_UUID "VGPU_VM_UUID"
#define VGPU_FIELD_SESSION "VGPU_SESSION"       /* a CUDA session's number */
#define VGPU_FIELD_SETTING "VGPU_SETTING"       /* what was changed, as D-Bus calls it */
#define VGPU_FIELD_FROM "VGPU_FROM"             /* its value before */
#define VGPU_FIELD_TO "VGPU_TO"                 /* its value now */
#define VGPU_FIELD_SENDER_UID "VGPU_SENDER_UID" /* the user who changed it, over D-Bus */
#define VGPU_FIELD_SENDER_PID "VGPU_SENDER_PID" /* the process */

/* Kinds of journal lines, explained by units/vgpu-mediator.catalog. */
#define VGPU_MESSAGE_VM_REGISTERED "c1ca0bf061bd48078739352f1d9815a6"
#define VGPU_MESSAGE_VM_UNREGISTERED "88b6c66ba55e4d9ea0fff4908db47d7a"
#define VGPU_MESSAGE_VM_CONNECTED "6988a1a8264e4dbda73d35a8a0935ae5"
#define VGPU_MESSAGE_VM_DISCONNECTED "a6add54c8eeb4638bf28c2d5bd83e65d"
#define VGPU_MESSAGE_VM_CHANGED "916d97bee36a4240a19d128a28513342"
#define VGPU_MESSAGE_SESSION_OPENED "4ddcc2e321644534a4e18c9766a6bd60"
#define VGPU_MESSAGE_SESSION_ENDED "a04975b13a59419f8ee44a158bdd8ed9"
#define VGPU_MESSAGE_POOL_CHANGED "dbe5bc67b90e4a46804388b6ebe2c52a"
#define VGPU_MESSAGE_SERVICE_CHANGED "9dc02bc11c9b4a1a9a8bc34ed3e27c8d"

#endif
